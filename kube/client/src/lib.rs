//! The API as its callers see it: get, list, watch, apply; in this process or over HTTP.
