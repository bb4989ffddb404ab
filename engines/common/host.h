/* SPDX-License-Identifier: Apache-2.0 */
/* What every host does with libtowline around a pull: configuration, store, credentials, and an
 * instance of the plugin. Go counterparts: daemon.NewDaemon, daemon/images/image_pull.go. */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "towline.h"

/* ---- the parts, for hosts with a life of their own. Each answers with a code and puts the text of
 * a failure into the sink. */

/* As engine.json says; ca: a file of PEM certificates that are trusted besides, or NULL. events: of
 * the one pull at a time that this host has, whose cancelled takes NULL for it; or NULL. */
int host_registry_service(const struct towline_config *config, const char *ca,
	const struct image_pull_events *events, struct towline_registry_service **ret,
	const struct image_pull_sink *sink);

struct host_parts {
	const struct image_pull_plugin *plugin;
	const struct towline_config *config;
	struct towline_registry_service *registry_service;
	struct towline_store *store; /* NULL: nothing is there, and nothing can be pulled */
	const struct image_pull_events *events; /* may be NULL */
	uint32_t timeout_ms;                    /* of a pull; 0: engine.json's */
	uint32_t retry_tick_ms;                 /* of countdowns; 0: a second */
};
int host_instance(const struct host_parts *parts, struct image_pull_instance **ret,
	const struct image_pull_sink *sink);

/* --platform OS/ARCH[/VARIANT], as towline_platform_parse reads it; platform points to the texts.
 * Zero-initialise, host_platform_free when done. */
struct host_platform {
	struct image_pull_platform platform;
	char *texts[3];
};
int host_platform_parse(
	struct host_platform *p, const char *text, const struct image_pull_sink *sink);
void host_platform_free(struct host_platform *p);

/* A copy of a struct image_pull_auth. Zero-initialise. */
struct host_credentials {
	bool found;
	struct image_pull_auth auth;
	char *texts[4];
};
int host_credentials_keep(struct host_credentials *c, const struct image_pull_auth *auth);
/* towline_credentials, kept; NOT_FOUND: there are none. */
int host_credentials_find(struct host_credentials *c, const char *authfile, const char *reference,
	const struct image_pull_sink *sink);
void host_credentials_forget(struct host_credentials *c);
/* The registry, HOST[:PORT], of an address as `docker login` takes it:
 * "https://index.docker.io/v1/", "h:5000", "h/prefix"; NULL or "": Docker Hub's. A new string;
 * NULL: no memory. */
char *host_registry_of(const char *address);
/* Free a secret. NULL is allowed. */
void host_wipe(char *text);

/* ---- the whole, for hosts that want one image and then its files. Zero-initialise; host_close
 * when done, after a failure too. Not for several threads. */

struct host {
	bool read_only; /* set before host_open: the store is as it is, and nothing is pulled */
	/* The same: who is not root opens the store in a user namespace, where that is allowed, as
	 * towline does. The configuration is the user's nevertheless. One thread so far. */
	bool userns;
	const struct towline_config *config;
	struct towline_store *store;
	char *reference; /* of the last host_pull, canonical, with a tag or digest */
	char *message;   /* text of the last failure */
};
/* config_file NULL: the usual places; data_root NULL: engine.json's. 0, or -1 with a message. */
int host_open(struct host *host, const char *config_file, const char *data_root);

struct host_request {
	const char *reference;              /* as a user writes it */
	bool always;                        /* ask the registry even where the image is here */
	const struct image_pull_auth *auth; /* NULL: what authfile has */
	const char *authfile;               /* NULL: the usual places */
	const char *ca;
	uint32_t timeout_ms;
	const struct image_pull_events *events; /* may be NULL */
	uint32_t retry_tick_ms;
};
/* The image is in the store afterwards, and host->reference names it. The plugin is loaded only if
 * a registry must be asked; its instance and threads are gone when this returns. 0, or -1 with the
 * plugin's message. */
int host_pull(struct host *host, const struct host_request *request);
/* Has a folder a file with something in it? Engines put links, empty files and folders into a root
 * file system that is still to come. */
bool host_rootfs_filled(const char *path);
/* That image's root file system at path, where nothing is or a folder that is not filled. It is
 * made beside its place and moved there once it is whole: a start that was killed leaves no half of
 * one.
 */
int host_rootfs(struct host *host, const char *path);
/* A folder with all that is in it, as far as that goes. */
void host_remove_tree(const char *path);
/* Never NULL. */
const char *host_message(const struct host *host);
void host_close(struct host *host);

#endif
