# src/grid: groups of ranks, collectives, the layout
src_libhymn_a_SOURCES += \
  src/grid/coll.c src/grid/meter.h \
  src/grid/comm.c src/grid/comm.h \
  src/grid/grid.c src/grid/grid.h \
  src/grid/share.c src/grid/share.h \
  src/grid/threads.c src/grid/threads.h \
  src/grid/watch.c src/grid/watch.h src/grid/watch_impl.h \
  src/grid/watch_node.c src/grid/watch_table.c

hymn_unit_tests += src/grid/test_comm_mpi
src_grid_test_comm_mpi_SOURCES = src/grid/test_comm_mpi.c src/grid/test_mpi.h
src_grid_test_comm_mpi_LDADD = $(HYMN_TEST_LIBS)

# its own collectives, cut into pieces of 40 bytes
hymn_unit_tests += src/grid/test_coll_mpi
src_grid_test_coll_mpi_SOURCES = src/grid/test_coll_mpi.c \
  src/grid/coll.c src/grid/comm.c
src_grid_test_coll_mpi_CPPFLAGS = $(AM_CPPFLAGS) -DHY_PIECE='(size_t)40'
src_grid_test_coll_mpi_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/grid/test_watch_mpi
src_grid_test_watch_mpi_SOURCES = src/grid/test_watch_mpi.c
src_grid_test_watch_mpi_LDADD = $(HYMN_TEST_LIBS)
