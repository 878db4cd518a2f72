//! Checking that text which comes in pieces is UTF-8, without keeping it.

/// What is known of a text so far: the start of a character that has no end yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    pending: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Takes the next piece; false when the text is not UTF-8.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> bool {
        while self.len > 0
            && let Some((first, rest)) = bytes.split_first()
        {
            let Some(slot) = self.pending.get_mut(self.len) else { return false };
            *slot = *first;
            self.len += 1;
            bytes = rest;
            match str::from_utf8(self.pending.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let tail = bytes.get(error.valid_up_to()..).unwrap_or_default();
                self.pending.iter_mut().zip(tail).for_each(|(slot, byte)| *slot = *byte);
                self.len = tail.len();
                true
            }
            Err(_) => false,
        }
    }

    /// Whether the text may end here.
    pub(super) fn complete(self) -> bool {
        self.len == 0
    }
}
