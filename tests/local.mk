# Unit tests: one program for each room, table-driven, cmocka.
UNIT_TESTS = $(filter tests/test_%,$(TESTS))

if HAVE_CMOCKA
TESTS += tests/test_buffers tests/test_decompress tests/test_progress tests/test_transfer
check_PROGRAMS += tests/test_buffers tests/test_decompress tests/test_progress tests/test_transfer
tests_test_buffers_SOURCES = tests/test_buffers.c
tests_test_decompress_SOURCES = tests/test_decompress.c
tests_test_progress_SOURCES = tests/test_progress.c
tests_test_transfer_SOURCES = tests/test_transfer.c
endif

# The downloads, over a repository and stores that do as they are told.
if HAVE_CMOCKA
DOWNLOAD_TESTS = tests/test_download tests/test_fetch
TESTS += $(DOWNLOAD_TESTS)
check_PROGRAMS += $(DOWNLOAD_TESTS)
DOWNLOAD_FAKES = \
	tests/fakes/blobs.c \
	tests/fakes/blobs.h \
	tests/fakes/downloads.c \
	tests/fakes/downloads.h \
	tests/fakes/layer_store.c \
	tests/fakes/layer_store.h
tests_test_download_SOURCES = $(DOWNLOAD_FAKES) tests/test_download.c
tests_test_fetch_SOURCES = $(DOWNLOAD_FAKES) tests/test_fetch.c
endif

if HAVE_CMOCKA
TESTS += tests/test_challenge tests/test_digest tests/test_errcode tests/test_errors tests/test_notes tests/test_platform tests/test_reference
check_PROGRAMS += tests/test_challenge tests/test_digest tests/test_errcode tests/test_errors tests/test_notes tests/test_platform tests/test_reference
tests_test_challenge_SOURCES = tests/test_challenge.c tests/random.h
tests_test_digest_SOURCES = tests/test_digest.c tests/random.h
tests_test_errcode_SOURCES = tests/test_errcode.c tests/random.h
tests_test_errors_SOURCES = tests/test_errors.c tests/random.h
tests_test_notes_SOURCES = tests/test_notes.c
tests_test_platform_SOURCES = tests/test_platform.c tests/random.h
tests_test_reference_SOURCES = tests/test_reference.c tests/random.h
endif

if HAVE_CMOCKA
FAIL_ALLOC_LINK = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=strndup
BASE_TESTS = tests/test_base tests/test_json tests/test_manifest tests/test_url
TESTS += $(BASE_TESTS)
check_PROGRAMS += $(BASE_TESTS)
tests_test_base_SOURCES = tests/fail_alloc.h tests/random.h tests/test_base.c
tests_test_base_LDFLAGS = $(FAIL_ALLOC_LINK)
tests_test_json_SOURCES = tests/fail_alloc.h tests/print_json.h tests/random.h tests/test_json.c
tests_test_json_LDFLAGS = $(FAIL_ALLOC_LINK)
tests_test_manifest_SOURCES = tests/fail_alloc.h tests/random.h tests/test_manifest.c
tests_test_manifest_LDFLAGS = $(FAIL_ALLOC_LINK)
tests_test_url_SOURCES = tests/fail_alloc.h tests/random.h tests/test_url.c
tests_test_url_LDFLAGS = $(FAIL_ALLOC_LINK)
endif

# What the original answered, case by case: tests/conformance/run drives these.
check_PROGRAMS += tests/conformance/unit_driver
tests_conformance_unit_driver_SOURCES = \
	tests/conformance/error_tree.c \
	tests/conformance/table_compat.c \
	tests/conformance/table_errors.c \
	tests/conformance/table_io.c \
	tests/conformance/table_manifest.c \
	tests/conformance/table_pull.c \
	tests/conformance/table_reference_store.c \
	tests/conformance/table_registry.c \
	tests/conformance/table_schema1.c \
	tests/conformance/table_values.c \
	tests/conformance/tables.h \
	tests/conformance/unit_driver.c

# The registry client, against a server of the tests' own.
if HAVE_CMOCKA
HTTP_TESTS = tests/test_auth tests/test_http tests/test_http_connections tests/test_http_gate tests/test_proxy tests/test_tls tests/test_transport
TESTS += $(HTTP_TESTS)
check_PROGRAMS += $(HTTP_TESTS)
tests_test_auth_SOURCES = tests/http_server.c tests/http_server.h tests/test_auth.c
HTTP_FIXTURE = tests/http_fixture.c tests/http_fixture.h tests/http_server.c tests/http_server.h
tests_test_http_SOURCES = tests/test_http.c $(HTTP_FIXTURE)
tests_test_http_connections_SOURCES = tests/test_http_connections.c $(HTTP_FIXTURE)
tests_test_http_gate_SOURCES = tests/test_http_gate.c $(HTTP_FIXTURE)
tests_test_proxy_SOURCES = tests/http_server.c tests/http_server.h tests/test_proxy.c
tests_test_tls_SOURCES = tests/certs.c tests/certs.h tests/http_server.c tests/http_server.h tests/test_tls.c
tests_test_transport_SOURCES = tests/certs.c tests/certs.h tests/http_server.c tests/http_server.h tests/test_transport.c
endif
include $(top_srcdir)/tests/hosts/local.mk
include $(top_srcdir)/tests/fuzz/local.mk
include $(top_srcdir)/tests/faults/local.mk

# Whole pulls, of the plugin as an engine loads it.
check_PROGRAMS += tests/conformance/pull_driver
tests_conformance_pull_driver_SOURCES = \
	tests/conformance/pull_driver.c \
	tests/conformance/pull_stores.c \
	tests/conformance/pull_stores.h \
	tests/conformance/table_io.c \
	tests/conformance/tables.h \
	tests/fakes/fail_malloc.c \
	tests/fakes/fail_malloc.h
TESTS += tests/conformance/no_memory.py
# The layer store.
if HAVE_CMOCKA
LAYER_TESTS = tests/test_archive_io tests/test_rootfs tests/test_layer_care tests/test_layer_check tests/test_layer_store tests/test_layer_sync tests/test_tar_headers tests/test_unpacker tests/test_untar tests/test_untar_faults tests/test_untar_format
TESTS += $(LAYER_TESTS)
check_PROGRAMS += $(LAYER_TESTS)
LAYER_FIXTURE = tests/layer_fixture.c tests/layer_fixture.h
LAYER_STORE_FIXTURE = tests/layer_store_fixture.c tests/layer_store_fixture.h $(LAYER_FIXTURE)
UNTAR_FIXTURE = tests/untar_fixture.c tests/untar_fixture.h $(LAYER_FIXTURE)
tests_test_archive_io_SOURCES = tests/test_archive_io.c tests/image_fixture.c tests/image_fixture.h $(LAYER_FIXTURE)
tests_test_layer_care_SOURCES = tests/test_layer_care.c $(LAYER_STORE_FIXTURE)
tests_test_layer_check_SOURCES = tests/test_layer_check.c $(LAYER_FIXTURE)
tests_test_rootfs_SOURCES = tests/test_rootfs.c tests/image_fixture.c tests/image_fixture.h $(LAYER_FIXTURE)
tests_test_layer_store_SOURCES = tests/test_layer_store.c $(LAYER_STORE_FIXTURE)
tests_test_layer_sync_SOURCES = tests/test_layer_sync.c $(LAYER_FIXTURE)
tests_test_tar_headers_SOURCES = tests/test_tar_headers.c $(LAYER_FIXTURE)
tests_test_untar_SOURCES = tests/test_untar.c $(UNTAR_FIXTURE)
tests_test_unpacker_SOURCES = tests/test_unpacker.c $(LAYER_FIXTURE)
tests_test_untar_faults_SOURCES = tests/test_untar_faults.c $(LAYER_FIXTURE)
tests_test_untar_faults_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=openat,--wrap=fstatat,--wrap=fstat,--wrap=unlinkat,--wrap=renameat,--wrap=utimensat,--wrap=futimens,--wrap=fchmod,--wrap=fchmodat,--wrap=fchown,--wrap=mkdirat,--wrap=mknodat,--wrap=linkat,--wrap=symlinkat,--wrap=readlinkat,--wrap=setxattr,--wrap=fsetxattr,--wrap=fgetxattr,--wrap=pwrite,--wrap=write
tests_test_untar_format_SOURCES = tests/test_untar_format.c $(UNTAR_FIXTURE)
tests_test_archive_io_LDADD = $(LDADD) $(ARCHIVE_LIBS)
endif

# compat's rooms.
if HAVE_CMOCKA
COMPAT_TESTS = tests/test_child tests/test_config tests/test_credentials tests/test_image_json tests/test_image_store tests/test_plugin_load tests/test_reference_store tests/test_registry_service tests/test_store tests/test_store_care tests/test_streamformat
TESTS += $(COMPAT_TESTS)
check_PROGRAMS += $(COMPAT_TESTS)
tests_test_child_SOURCES = tests/test_child.c
tests_test_config_SOURCES = tests/folder.c tests/folder.h tests/test_config.c
tests_test_credentials_SOURCES = tests/fail_alloc.h tests/folder.c tests/folder.h tests/test_credentials.c
tests_test_credentials_LDFLAGS = $(FAIL_ALLOC_LINK)
tests_test_image_json_SOURCES = tests/folder.c tests/folder.h tests/test_image_json.c
tests_test_image_store_SOURCES = tests/folder.c tests/folder.h tests/test_image_store.c
tests_test_plugin_load_SOURCES = tests/folder.c tests/folder.h tests/test_plugin_load.c
tests_test_reference_store_SOURCES = tests/folder.c tests/folder.h tests/test_reference_store.c
tests_test_registry_service_SOURCES = tests/folder.c tests/folder.h tests/test_registry_service.c
STORE_FIXTURE = tests/folder.c tests/folder.h tests/store_fixture.c tests/store_fixture.h $(LAYER_FIXTURE)
tests_test_store_SOURCES = tests/test_store.c $(STORE_FIXTURE)
tests_test_store_care_SOURCES = tests/test_store_care.c $(STORE_FIXTURE)
tests_test_streamformat_SOURCES = tests/folder.c tests/folder.h tests/test_streamformat.c
endif

if HAVE_CMOCKA
TESTS += tests/test_host
check_PROGRAMS += tests/test_host
tests_test_host_SOURCES = tests/test_host.c
tests_test_host_LDADD = engines/libhost.a engines/libcommon.a libtowline.la -lutil $(CMOCKA_LIBS)
endif

# Whole suites: recorded behaviour, hostile input, dockerd beside us.
TESTS += tests/conformance/check.py tests/conformance/check_encoded.py tests/adversarial/check.py tests/adversarial/check_confined.py \
	tests/integration/compare.py

# The command line, against real registries on the loopback.
TESTS += \
	tests/integration/bounds.py \
	tests/integration/cancel.py \
	tests/integration/cli.py \
	tests/integration/confine.py \
	tests/integration/limits.py \
	tests/integration/logins.py \
	tests/integration/machines.py \
	tests/integration/memory.py \
	tests/integration/personas.py \
	tests/integration/plan.py \
	tests/integration/processes.py \
	tests/integration/registries.py \
	tests/integration/resume.py \
	tests/integration/strain.py \
	tests/integration/trees.py

# Other engines with their adapters: each skipped where it is not installed.
TESTS += tests/integration/crun.py tests/integration/lxc.py tests/integration/dockerapi.py tests/integration/slurm.py

# How much a pull costs.
TESTS += bench/smoke.py

# What holds for the whole house.
TESTS += tests/house/abi.sh tests/house/abi_kept.py tests/house/floors.py
EXTRA_DIST += tests/packages.py tests/adversarial tests/conformance tests/house tests/integration tests/suites.py tests/vectors

# What the confined unpacker may not do (tests/integration/confine.py).
check_PROGRAMS += tests/fakes/jail_breaker
tests_fakes_jail_breaker_SOURCES = tests/fakes/jail_breaker.c compat/unpack_jail.c compat/unpack_jail.h
tests_fakes_jail_breaker_CPPFLAGS = $(AM_CPPFLAGS) $(UNPACK_CPPFLAGS)
tests_fakes_jail_breaker_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
tests_fakes_jail_breaker_LDADD = $(SECCOMP_LIBS)
