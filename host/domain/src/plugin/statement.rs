//! The statement that is signed: a component, its plugin name and its version.
//!
//! The signed text is one line of netstrings (each one a length in bytes, a colon, that many bytes, a comma), so that
//! no two statements have the same text. It begins with its purpose, so that no text that is signed for another
//! purpose is a statement:
//!
//! ```text
//! 26:landfall policy revision 2,11:our-regions,5:1.2.0,64:(SHA-256 in hexadecimal),
//! ```

use crate::names::{Digest, PluginName};

/// The statement that a component is a revision of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The name under which it is published.
    pub name: PluginName,
    /// The version that the component states.
    pub version: String,
    /// SHA-256 of the component.
    pub digest: Digest,
}

/// What a signature is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// The plugin. `None` when only the bytes are checked.
    pub name: Option<&'a PluginName>,
    /// The version that the component states. `None` while the component has not been asked.
    pub version: Option<&'a str>,
}

impl Statement {
    /// The text that is signed, with its line end.
    #[must_use]
    pub fn text(&self) -> String {
        let digest = self.digest.to_string();
        let parts = [PURPOSE, self.name.as_str(), &self.version, &digest];
        let mut text: String = parts.iter().map(|part| format!("{}:{part},", part.len())).collect();
        text.push('\n');
        text
    }

    /// How the statement differs from `subject`, in words. `None` if it does not differ.
    pub fn differs(&self, subject: &Subject<'_>) -> Option<String> {
        let mut differences = Vec::new();
        if let Some(name) = subject.name.filter(|name| **name != self.name) {
            differences.push(format!("for the plugin {} and not for {name}", self.name));
        }
        if self.digest != subject.digest {
            differences.push(format!(
                "for other bytes (their SHA-256 is {}, the component's is {})",
                self.digest, subject.digest
            ));
        } else if let Some(version) = subject.version.filter(|version| *version != self.version) {
            differences.push(format!("for version {}, and the component says that it is {version}", self.version));
        }
        (!differences.is_empty()).then(|| differences.join(", and "))
    }
}

/// The purpose of a signature, in its second form. The first form signed the digest alone.
const PURPOSE: &str = "landfall policy revision 2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_the_documentation_says() {
        let digest = Digest::of(b"component");
        let statement = Statement { name: "our-regions".parse().unwrap(), version: "1.2.0".to_owned(), digest };
        let expected = format!("26:landfall policy revision 2,11:our-regions,5:1.2.0,64:{digest},\n");
        assert_eq!(statement.text(), expected);
    }

    #[test]
    fn every_difference_is_told() {
        let (one, two): (PluginName, PluginName) = ("sg".parse().unwrap(), "sg4".parse().unwrap());
        let digest = Digest::of(b"component");
        let statement = Statement { name: one.clone(), version: "1.0.0".to_owned(), digest };
        let asked = |name, version, digest| statement.differs(&Subject { digest, name, version });
        assert_eq!(asked(Some(&one), Some("1.0.0"), digest), None);
        assert_eq!(asked(None, None, digest), None);
        assert_eq!(asked(Some(&two), None, digest).unwrap(), "for the plugin sg and not for sg4");
        let told = asked(Some(&two), Some("1.1.0"), digest).unwrap();
        assert_eq!(
            told,
            "for the plugin sg and not for sg4, and for version 1.0.0, and the component says that it is 1.1.0"
        );
        let other = Digest::of(b"other");
        let told = asked(Some(&one), Some("1.1.0"), other).unwrap();
        assert!(told.starts_with("for other bytes") && told.contains(&other.to_string()), "{told}");
        assert!(!told.contains("version"), "the version of other bytes is not told apart: {told}");
    }
}
