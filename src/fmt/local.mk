# src/fmt: number formats
src_libhymn_a_SOURCES += src/fmt/fmt.c src/fmt/fmt.h
