# SPDX-License-Identifier: Apache-2.0
# Yocto (kirkstone and later), with meta-oe. See packaging/README.md.
SUMMARY = "Docker's image pull as a plugin for container engines, and a small host"
DESCRIPTION = "image_pull.so gives an engine what docker pull does; towline pulls images without a daemon."
HOMEPAGE = "https://towline.example"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# A tarball made by `make dist`, beside the recipe in files/.
SRC_URI = "file://${BP}.tar.xz"

DEPENDS = "curl yajl gnutls libgcrypt libarchive libseccomp zlib zstd xz bzip2"
# Certificates are verified on curl's GnuTLS session. In local.conf, or the distribution:
#   PACKAGECONFIG:remove:pn-curl = "openssl"
#   PACKAGECONFIG:append:pn-curl = " gnutls"

inherit autotools pkgconfig systemd

PACKAGECONFIG ??= "serve ${@bb.utils.filter('DISTRO_FEATURES', 'systemd', d)}"
PACKAGECONFIG[serve] = "--with-serve,--without-serve,libmicrohttpd"
PACKAGECONFIG[isal] = "--with-isal,--without-isal,isa-l"
PACKAGECONFIG[systemd] = "--with-systemdsystemunitdir=${systemd_system_unitdir},,"

# The pages come with the tarball.
EXTRA_OECONF = "SCDOC=false"
EXTRA_OEMAKE = "SCDOC=false"

do_install:append() {
	find ${D} -name '*.la' -delete
}

PACKAGES =+ "${PN}-plugin lib${PN} ${PN}-serve ${PN}-crun ${PN}-lxc ${PN}-slurm"
FILES:${PN}-plugin = "${libdir}/towline/image_pull.so"
FILES:lib${PN} = "${libdir}/libtowline.so.*"
FILES:lib${PN} += "${libexecdir}/towline/towline-unpack"
FILES:${PN}-serve = "${libexecdir}/towline/towline-serve ${systemd_system_unitdir}"
FILES:${PN}-crun = "${libdir}/crun ${libdir}/towline/crun_pull.so"
FILES:${PN}-lxc = "${bindir}/lxc-towline"
FILES:${PN}-slurm = "${libdir}/towline/spank_towline.so ${libexecdir}/towline/towline-importer"
FILES:${PN} += "${datadir}/bash-completion ${datadir}/zsh"
RDEPENDS:${PN} = "${PN}-plugin"
RDEPENDS:${PN}-serve = "${PN}"
RDEPENDS:${PN}-crun = "${PN}-plugin"
RDEPENDS:${PN}-lxc = "${PN}-plugin"
RDEPENDS:${PN}-slurm = "${PN}-plugin"
RRECOMMENDS:${PN}-plugin = "ca-certificates"
RRECOMMENDS:${PN} = "shadow"

SYSTEMD_PACKAGES = "${@bb.utils.contains('PACKAGECONFIG', 'serve', '${PN}-serve', '', d)}"
SYSTEMD_SERVICE:${PN}-serve = "towline.socket"
