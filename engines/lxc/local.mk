# A template for lxc-create. "lxc-create -t towline" finds it where a link of that name is in LXC's templates/.
bin_PROGRAMS += lxc-towline
lxc_towline_SOURCES = engines/lxc/lxc_config.c engines/lxc/main.c engines/lxc/rootfs_files.c engines/lxc/template.h
lxc_towline_CPPFLAGS = $(AM_CPPFLAGS) -DLXC_CONFIG_DIR='"$(lxcdir)/config"' -DLXC_HOOK_DIR='"$(lxcdir)/hooks"'
lxc_towline_LDADD = engines/libcommon.a libtowline.la

dist_man_MANS += docs/lxc-towline.1
EXTRA_DIST += docs/lxc.md debian/towline-lxc.docs debian/towline-lxc.install debian/towline-lxc.links
