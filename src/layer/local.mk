# src/layer
