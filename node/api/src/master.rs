//! The JSON of the netconf-master's API.
//!
//! In: nothing. Out: types. Never: a decision of the netconf-master.
