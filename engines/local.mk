# What hosts share: libtowline's services around a pull.
noinst_LIBRARIES += engines/libcommon.a
engines_libcommon_a_SOURCES = \
	engines/common/host.c \
	engines/common/host.h \
	engines/common/inside.c \
	engines/common/inside.h \
	engines/common/userns.c \
	engines/common/userns.h

# towline: the reference host. It sees towline.h and image_pull.h alone. All but main() is a library of its own, for tests.
noinst_LIBRARIES += engines/libhost.a
engines_libhost_a_SOURCES = \
	engines/towline/answer.c \
	engines/towline/cli.c \
	engines/towline/cli.h \
	engines/towline/doctor.c \
	engines/towline/failure.c \
	engines/towline/images.c \
	engines/towline/json_text.c \
	engines/towline/json_text.h \
	engines/towline/login.c \
	engines/towline/login.h \
	engines/towline/plan.c \
	engines/towline/progress_bar.c \
	engines/towline/progress_bar.h \
	engines/towline/pull.c \
	engines/towline/serve.c \
	engines/towline/store_commands.c \
	engines/towline/text.c \
	engines/towline/text.h

bin_PROGRAMS += towline
bashcompletiondir = $(datadir)/bash-completion/completions
zshcompletiondir = $(datadir)/zsh/vendor-completions
dist_zshcompletion_DATA = engines/towline/completion/_towline
EXTRA_DIST += engines/towline/completion/towline.bash
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(bashcompletiondir)'
	$(INSTALL_DATA) $(top_srcdir)/engines/towline/completion/towline.bash '$(DESTDIR)$(bashcompletiondir)/towline'
uninstall-local:
	rm -f '$(DESTDIR)$(bashcompletiondir)/towline'
towline_SOURCES = engines/towline/main.c
towline_LDADD = engines/libhost.a engines/libcommon.a libtowline.la
