# src/verify
