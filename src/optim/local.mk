# src/optim: schedules, AdamW, reduction of gradients
src_libhymn_a_SOURCES += \
  src/optim/adamw.c src/optim/adamw.h \
  src/optim/bucket.c src/optim/bucket.h \
  src/optim/lr.c src/optim/lr.h \
  src/optim/offload.c src/optim/offload.h \
  src/optim/trainer.c src/optim/trainer.h \
  src/optim/update.c src/optim/update.h

hymn_unit_tests += src/optim/test_optim
src_optim_test_optim_SOURCES = src/optim/test_optim.c src/model/test_tiny.h \
  src/cpu/test_op.h
src_optim_test_optim_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/optim/test_trainer_mpi
src_optim_test_trainer_mpi_SOURCES = src/optim/test_trainer_mpi.c \
  src/model/test_tiny.h src/cpu/test_op.h
src_optim_test_trainer_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/optim/test_zero_mpi
src_optim_test_zero_mpi_SOURCES = src/optim/test_zero_mpi.c \
  src/model/test_tiny.h src/cpu/test_op.h
src_optim_test_zero_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/optim/test_pipe_mpi
src_optim_test_pipe_mpi_SOURCES = src/optim/test_pipe_mpi.c \
  src/model/test_tiny.h src/cpu/test_op.h
src_optim_test_pipe_mpi_LDADD = $(HYMN_TEST_LIBS)
