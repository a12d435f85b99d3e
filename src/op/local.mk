# src/op
