//! What every write passes before it is stored: plugins, policies, webhooks.
