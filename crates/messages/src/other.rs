//! Fields that a later version added: kept, not rejected.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The fields of a record that this version does not know, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Other(BTreeMap<String, Value>);

impl Other {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The fields of both; where they differ, the value whose JSON text sorts later.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let mut joined = self.0.clone();
        for (name, theirs) in &other.0 {
            let mine = joined.entry(name.clone()).or_insert_with(|| theirs.clone());
            let (my_text, their_text) = (mine.to_string(), theirs.to_string());
            if my_text < their_text {
                *mine = theirs.clone();
            }
        }
        Self(joined)
    }
}

impl FromIterator<(String, Value)> for Other {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}
