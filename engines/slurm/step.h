/* SPDX-License-Identifier: Apache-2.0 */
/* spank_towline.so: what of plugstack.conf and srun's options becomes a step in a container.
 * Counterpart: NVIDIA's pyxis, whose options these are. */
#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MOUNTS_MAX = 64 };

/* One of --container-mounts. */
struct step_mount {
	int source;   /* O_PATH, opened with the user's rights */
	char *target; /* absolute, in the container */
	bool read_only;
};

/* All that this process knows. SPANK hands its callbacks nothing of ours. */
struct step {
	/* plugstack.conf */
	const char *config, *dir, *store, *shared, *importer;
	unsigned deadline; /* seconds */
	/* the user's options */
	char *image, *mounts, *workdir;
	bool read_only;
	/* the step */
	uid_t uid;
	gid_t gid;
	char *folder; /* of this step; root file system in rootfs/. Root's alone, or the user's */
	bool folder_made, from_shared;
	struct step_mount list[MOUNTS_MAX];
	size_t n;
	char *answer; /* the importer's: working folder, then the environment, each ended by NUL */
	size_t answer_size;
	char *problem; /* why no task may start; NULL: nothing is wrong */
};
/* -1, with that text as the problem, if there is none before it. */
int step_failed(struct step *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* mounts.c. With the user's rights: sources are looked up. 0, or -1. */
int step_read_mounts(struct step *s, const char *text);
int step_add_mount(struct step *s, const char *source, const char *target, bool read_only);
/* In a task, as root: from here on the image is all there is. 0, or -1. */
int step_enter(struct step *s);

/* child.c: the importer, for this step; as root or as the user. Its answer is kept. Its exit
 * status, or -1 with a problem. */
int step_run(struct step *s, bool root, char *const *argv, char *const *env, unsigned seconds);

#endif
