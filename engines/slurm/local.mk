# Slurm's plugin: it needs libc alone, for srun and slurmd load it at each start. What it starts, the importer, is pyxis' too.
pkglibexec_PROGRAMS += towline-importer
towline_importer_SOURCES = engines/slurm/importer.c
towline_importer_LDADD = engines/libcommon.a libtowline.la

if HAVE_SPANK
spankdir = $(plugindir)
spank_PROGRAMS = engines/slurm/spank_towline.so
engines_slurm_spank_towline_so_SOURCES = \
	engines/common/inside.c \
	engines/slurm/child.c \
	engines/slurm/mounts.c \
	engines/slurm/spank.c \
	engines/slurm/step.h
engines_slurm_spank_towline_so_LINK = $(CCLD) $(AM_CFLAGS) $(CFLAGS) $(LDFLAGS) -shared -Wl,-z,now -o $@
engines_slurm_spank_towline_so_LDADD =
endif

dist_man_MANS += docs/spank_towline.7
EXTRA_DIST += docs/slurm.md debian/towline-slurm.docs debian/towline-slurm.install
