//! How messages lie in the data of a call (gRPC over HTTP/2, Length-Prefixed-Message): an octet that says whether the
//! message is compressed, its length in four octets, and the message.

use bytes::Bytes;

/// The largest message that is sent.
const MAX_MESSAGE: usize = 64 << 20;
/// The octets before a message.
const PREFIX: usize = 5;

/// Data that are no messages, or compressed ones, which nobody has agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Follows the messages of an answer while its data come, and keeps none of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Messages {
    prefix: [u8; PREFIX],
    /// How much of the prefix has come.
    have: usize,
    /// How much of the message is still to come, once the prefix is there.
    left: usize,
    count: u64,
}

impl Messages {
    /// Takes the next piece of the data.
    pub(crate) fn feed(&mut self, mut data: &[u8]) -> Result<(), Malformed> {
        while !data.is_empty() {
            if self.have < PREFIX {
                let (piece, rest) = data.split_at((PREFIX - self.have).min(data.len()));
                self.prefix[self.have..][..piece.len()].copy_from_slice(piece);
                self.have += piece.len();
                data = rest;
                if self.have < PREFIX {
                    return Ok(());
                }
                self.left = length(self.prefix)?;
            }
            let taken = self.left.min(data.len());
            data = &data[taken..];
            self.left -= taken;
            if self.left == 0 {
                self.have = 0;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// How many whole messages have come.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether what has come ends with a message.
    pub(crate) fn is_whole(&self) -> bool {
        self.have == 0
    }
}

/// Takes the first message off `data`.
pub(crate) fn first<'a>(data: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let (prefix, rest) = data.split_first_chunk::<PREFIX>().ok_or(Malformed)?;
    let (message, rest) = rest.split_at_checked(length(*prefix)?).ok_or(Malformed)?;
    *data = rest;
    Ok(message)
}

/// A message with its prefix: not compressed, and its length.
pub(crate) fn frame(message: &[u8]) -> Result<Bytes, String> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MAX_MESSAGE);
    let length = length.ok_or_else(|| format!("a message has {MAX_MESSAGE} bytes at most"))?;
    let mut framed = Vec::with_capacity(message.len() + PREFIX);
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    Ok(framed.into())
}

/// The length that a prefix says.
fn length([compressed, length @ ..]: [u8; PREFIX]) -> Result<usize, Malformed> {
    match compressed {
        0 => usize::try_from(u32::from_be_bytes(length)).map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is known after `data` came in pieces of `size` bytes: how many messages, and whether the last is whole.
    fn follow(data: &[u8], size: usize) -> Result<(u64, bool), Malformed> {
        let mut messages = Messages::default();
        data.chunks(size).try_for_each(|piece| messages.feed(piece))?;
        Ok((messages.count(), messages.is_whole()))
    }

    #[test]
    fn messages_are_followed() {
        let check = |data: &[u8], expected| {
            for size in 1..=data.len().max(1) {
                assert_eq!(follow(data, size), expected, "{data:?} in pieces of {size}");
            }
        };
        check(b"", Ok((0, true)));
        check(&[0, 0, 0, 0, 0], Ok((1, true)));
        check(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Ok((2, true)));
        check(&[0, 0, 0, 0, 2, 7, 7, 0, 0, 0, 0, 1, 7], Ok((2, true)));
        check(&[0, 0, 0, 0, 2, 7, 7, 0, 0, 0], Ok((1, false)));
        check(&[0, 0, 0, 0, 2, 7], Ok((0, false)));
        check(&[0, 255, 255, 255, 255, 7], Ok((0, false)));
        check(&[1, 0, 0, 0, 0], Err(Malformed));
        check(b"<html>", Err(Malformed));
        check(&[0, 0, 0, 0, 0, 2, 0, 0, 0, 0], Err(Malformed));
    }

    #[test]
    fn the_first_message_is_taken_off() {
        let mut data: &[u8] = &[0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0];
        assert_eq!(first(&mut data), Ok([7, 8].as_slice()));
        assert_eq!(first(&mut data), Ok([].as_slice()));
        assert_eq!(first(&mut data), Err(Malformed));
        for wrong in [[0, 0, 0, 0, 1].as_slice(), &[1, 0, 0, 0, 0], &[0, 255, 255, 255, 255, 0]] {
            assert_eq!(first(&mut &*wrong), Err(Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_not_sent() {
        assert!(frame(&vec![0; MAX_MESSAGE]).is_ok());
        assert!(frame(&vec![0; MAX_MESSAGE + 1]).unwrap_err().contains("67108864 bytes at most"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_framed_is_found(sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6), size in 1usize..9) {
            let data = sent.iter().map(|message| frame(message).unwrap()).collect::<Vec<_>>().concat();
            prop_assert_eq!(follow(&data, size), Ok((sent.len() as u64, true)));
            let mut rest = data.as_slice();
            for message in &sent {
                prop_assert_eq!(first(&mut rest), Ok(message.as_slice()));
            }
            prop_assert!(rest.is_empty());
        }
    }
}
