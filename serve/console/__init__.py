"""The console: a page for people who run a server or try it out, made of files that a browser reads as they are."""
