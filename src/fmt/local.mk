# src/fmt
