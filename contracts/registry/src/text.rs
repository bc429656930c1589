//! The words that callers give, within their bounds.

use mycel_common::{Error, Hash};

/// Characters of a domain.
pub const MAX_DOMAIN: usize = 32;
/// Characters of a CID as it is written here: `b`, and 36 bytes in base32.
pub const CID_CHARS: usize = 59;
/// Characters of the name of a model.
pub const MAX_MODEL: usize = 64;

const PREFIX: [u8; 4] = [1, 0x71, 0x12, 32]; // CIDv1, DAG-CBOR, sha2-256, and the length of it

/// Checks a domain.
pub fn domain(text: &str) -> Result<(), Error> {
    let known = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=MAX_DOMAIN).contains(&text.len()) && text.bytes().all(known) {
        Ok(())
    } else {
        Err(Error::Field("a domain has 1 to 32 small letters, digits, _ or -"))
    }
}

/// Checks the name of a model.
pub fn model(text: &str) -> Result<(), Error> {
    if (1..=MAX_MODEL).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Error::Field("the name of a model has 1 to 64 printable ASCII characters"))
    }
}

/// Checks that `text` is the CID of the block whose digest is `hash`.
pub fn cid(text: &str, hash: &Hash) -> Result<(), Error> {
    let wrong = Error::Field("metadata_cid must be the CIDv1 (base32, dag-cbor) whose digest is pattern_hash");
    if text.len() != CID_CHARS || !text.starts_with('b') {
        return Err(wrong);
    }
    let wanted = PREFIX.into_iter().chain(hash.0);
    if from_base32(&text.as_bytes()[1..]).is_some_and(|bytes| bytes.into_iter().eq(wanted)) {
        Ok(())
    } else {
        Err(wrong)
    }
}

/// RFC 4648 in lower case, without padding; the bits left over must be zero.
fn from_base32(text: &[u8]) -> Option<Vec<u8>> {
    let mut found = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0u16, 0u32);
    for letter in text {
        let value = match letter {
            b'a'..=b'z' => letter - b'a',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u16::from(value)) & 0x1fff;
        held += 5;
        if held >= 8 {
            held -= 8;
            found.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    (bits & ((1 << held) - 1) == 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cid_must_be_that_of_the_hash() {
        // printf milk | ipfs block put --cid-codec dag-cbor: sha2-256("milk") under the prefix of a DAG-CBOR block
        let hash = Hash(near_sdk::env::sha256_array(b"milk"));
        let text = encode(&PREFIX.into_iter().chain(hash.0).collect::<Vec<_>>());
        assert_eq!(cid(&text, &hash), Ok(()));
        assert!(text.starts_with("bafyrei"), "{text}");
        assert!(cid(&text, &Hash([0; 32])).is_err());
        let raw = encode(&[1, 0x55, 0x12, 32].into_iter().chain(hash.0).collect::<Vec<_>>());
        for wrong in [&raw, &text.to_uppercase(), &text[..58], "", &format!("{text}a"), "béfyrei"] {
            assert!(cid(wrong, &hash).is_err(), "{wrong}");
        }
        let last = text.chars().last().map(|letter| if letter == 'a' { 'b' } else { 'a' });
        let other = format!("{}{}", &text[..58], last.unwrap_or('a'));
        assert!(cid(&other, &hash).is_err(), "{other}");
    }

    fn encode(bytes: &[u8]) -> String {
        let mut text = String::from("b");
        let (mut bits, mut held) = (0u32, 0);
        for byte in bytes {
            bits = bits << 8 | u32::from(*byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                text.push(char::from(
                    b"abcdefghijklmnopqrstuvwxyz234567"[usize::try_from(bits >> held & 31).unwrap_or(0)],
                ));
            }
        }
        text.push(char::from(
            b"abcdefghijklmnopqrstuvwxyz234567"[usize::try_from(bits << (5 - held) & 31).unwrap_or(0)],
        ));
        text
    }

    #[test]
    fn domains_and_models_are_short_and_plain() {
        for good in ["a", "mail_2-x", &"z".repeat(32)] {
            assert_eq!(domain(good), Ok(()), "{good}");
        }
        for bad in ["", "Mail", "é", "a b", &"z".repeat(33)] {
            assert!(domain(bad).is_err(), "{bad}");
        }
        assert_eq!(model("llama3.2:3b"), Ok(()));
        for bad in ["", "a b", &"m".repeat(65), "\u{202e}"] {
            assert!(model(bad).is_err(), "{bad}");
        }
    }
}
