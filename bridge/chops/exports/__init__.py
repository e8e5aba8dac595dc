"""The formats that chops leave in, a module each."""
