//! Roles on the national plane.

use serde::{Serialize, Serializer};

/// What somebody on the national plane is there for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// An authority's own system: submits, and is handed over what is for it.
    BackEnd,
    /// Runs the gateway.
    Operator,
    /// Reads what was exchanged, and is recorded.
    Auditor,
    /// Sees to it that nobody reads without need: reads the house log and who has read what.
    DataProtection,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::BackEnd, Self::Operator, Self::Auditor, Self::DataProtection];

    /// As certificates and the database say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BackEnd => "backend",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::DataProtection => "data-protection",
        }
    }

    /// The role of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
