"""The whole story on loopback with built-in partners: what `tdu demo` shows, and the stage that crash tests play on."""
