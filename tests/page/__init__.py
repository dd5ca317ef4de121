"""The page in a real browser, and its pure functions in Node.js."""
