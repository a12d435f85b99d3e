# src/job: the command line and the jobs. A job is src/job/NAME.c here and a
# row in jobs.def.
src_libhymn_a_SOURCES += \
  src/job/cli.c src/job/cli.h \
  src/job/dry_run.c src/job/dry_run.h \
  src/job/inspect.c src/job/inspect.h \
  src/job/jobs.c src/job/jobs.h \
  src/job/job.h \
  src/job/version.c src/job/version.h
EXTRA_DIST += src/job/jobs.def

TESTS += src/job/test_cli.sh
EXTRA_DIST += src/job/test_cli.sh
