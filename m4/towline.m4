# TOWLINE_CHECK_CURL_GNUTLS: verification is done on curl's GnuTLS session, so another TLS library will not do.
AC_DEFUN([TOWLINE_CHECK_CURL_GNUTLS], [
AC_MSG_CHECKING([that libcurl is the GnuTLS build])
AS_IF([$PKG_CONFIG --libs libcurl | grep -q -- '-lcurl-gnutls'],
	[AC_MSG_RESULT([yes])],
	[AS_IF([$PKG_CONFIG --static --libs libcurl 2>/dev/null | grep -q -- '-lgnutls'],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		AC_MSG_ERROR([this libcurl is not the GnuTLS build. On Debian: apt-get install libcurl4-gnutls-dev (it takes the place of libcurl4-openssl-dev)])])])
])

# TOWLINE_SANITIZERS: --enable-asan, --enable-ubsan, --enable-tsan, --enable-fuzz.
AC_DEFUN([TOWLINE_SANITIZERS], [
SANITIZERS=
AC_ARG_ENABLE([asan], [AS_HELP_STRING([--enable-asan], [build with AddressSanitizer])],
	[AS_IF([test "x$enableval" = xyes], [SANITIZERS="$SANITIZERS,address"])])
AC_ARG_ENABLE([ubsan], [AS_HELP_STRING([--enable-ubsan], [build with UndefinedBehaviorSanitizer])],
	[AS_IF([test "x$enableval" = xyes], [SANITIZERS="$SANITIZERS,undefined"])])
AC_ARG_ENABLE([tsan], [AS_HELP_STRING([--enable-tsan], [build with ThreadSanitizer])],
	[AS_IF([test "x$enableval" = xyes], [SANITIZERS="$SANITIZERS,thread"])])
AC_ARG_ENABLE([fuzz], [AS_HELP_STRING([--enable-fuzz], [build the fuzz targets (clang)])], [], [enable_fuzz=no])
AM_CONDITIONAL([ENABLE_FUZZ], [test "x$enable_fuzz" = xyes])
SANITIZERS=${SANITIZERS#,}
SAN_CFLAGS=
SAN_LDFLAGS=
AS_IF([test -n "$SANITIZERS"], [
	SAN_CFLAGS="-fsanitize=$SANITIZERS -fno-omit-frame-pointer -fno-sanitize-recover=undefined"
	SAN_LDFLAGS="-fsanitize=$SANITIZERS"])
AS_IF([test "x$enable_fuzz" = xyes], [SAN_CFLAGS="$SAN_CFLAGS -fsanitize=fuzzer-no-link"])
AM_CONDITIONAL([SANITIZED], [test -n "$SANITIZERS"])
AC_SUBST([SANITIZERS])
AC_SUBST([SAN_CFLAGS])
AC_SUBST([SAN_LDFLAGS])
])
