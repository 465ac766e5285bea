//! Images: pull, push, tags, save and load.
