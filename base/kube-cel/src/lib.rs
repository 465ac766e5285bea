//! The Common Expression Language as Kubernetes speaks it: compiled with a cost, evaluated with a budget.
