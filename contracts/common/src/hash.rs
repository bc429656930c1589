//! A sha2-256 digest, in JSON as 64 lower-case hex digits.

use near_sdk::borsh::{BorshDeserialize, BorshSerialize};
use near_sdk::serde::{de, Deserialize, Deserializer, Serialize, Serializer};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A sha2-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(crate = "near_sdk::borsh")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// From 64 lower-case hex digits, and from nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut found = [0; 32];
        for (byte, pair) in found.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(found))
    }
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

impl core::fmt::Display for Hash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for byte in self.0 {
            for half in [byte >> 4, byte & 15] {
                write!(f, "{}", char::from(DIGITS[usize::from(half)]))?;
            }
        }
        Ok(())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = Deserialize::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("a hash has 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_hex_of_the_right_length_is_a_hash() {
        let text = "00ff".repeat(16);
        assert_eq!(Hash::parse(&text).map(|hash| hash.to_string()), Some(text.clone()));
        for wrong in [&text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace('f', "g"), ""] {
            assert_eq!(Hash::parse(wrong), None, "{wrong}");
        }
    }
}
