"""The connected registry that runs on a site: its own store, fed by sync, served over HTTP."""
