# src/grid: groups of ranks, collectives, the layout
src_libhymn_a_SOURCES += \
  src/grid/comm.h src/grid/grid.h
