# src/gen
