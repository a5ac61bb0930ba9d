//! The summary page.

use silkgate_message::instant::Instant;
use silkgate_message::party::Party;

use crate::container::Members;

/// The page of a bundle with these members.
pub fn render(_members: &Members, _by: &Party, _at: Instant) -> String {
    "<!doctype html>\n".to_owned()
}
