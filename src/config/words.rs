//! What the builder, the command line and the JSON reports share of a plain
//! enum: its words.

/// Gives a plain enum its words: `Display`, `FromStr` and serde agree.
macro_rules! words {
    ($type:ident, $field:literal { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every accepted word, in the order of the documentation.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this value.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = crate::Error;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok($type::$variant),)+
                    _ => Err(crate::Error::config(
                        $field,
                        word,
                        format!("expected one of {}", Self::WORDS.join(", ")),
                    )),
                }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// Two numbers with a comma between them.
pub(super) fn two<N: std::str::FromStr>(text: &str) -> Option<(N, N)> {
    let (low, high) = text.split_once(',')?;
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
}

pub(super) use words;
