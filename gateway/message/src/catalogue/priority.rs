//! Which messages go first where many wait.

use super::SOURCES;

/// How soon a message must go where others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody stands at a crossing and waits for it: alerts, hits, results of controls, warnings, questions and answers.
    Urgent,
    /// It comes in numbers and bears a wait: manifests, movements, what stands open or closed.
    Bulk,
}

impl Priority {
    /// Both, the more urgent first.
    pub const ALL: [Priority; 2] = [Priority::Urgent, Priority::Bulk];

    /// The priority of a message type, the same in all of its versions. A type that the catalogue does not hold can wait.
    pub fn of(kind: &str) -> Self {
        SOURCES.iter().find(|source| source.name == kind).map_or(Priority::Bulk, |source| source.priority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_go_before_manifests() {
        assert!(Priority::of("alert.person") < Priority::of("manifest.cargo"));
        assert_eq!(Priority::of("query.response"), Priority::Urgent);
        assert_eq!(Priority::of("no.such"), Priority::Bulk);
        for source in SOURCES {
            assert_eq!(source.priority, Priority::of(source.name), "{}: one for all versions", source.name);
        }
    }
}
