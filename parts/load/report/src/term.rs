//! Lines for a terminal: painted pieces that know how wide they are, so that nothing wraps by accident.
//!
//! Names come from files and addresses from users: [`clean`] takes out what would steer the terminal.

/// How text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether colours and bold type may be used. The caller has looked at `NO_COLOR` and at what it writes to.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
}

/// What a piece of text is, which decides its colour. It never carries a meaning that the words do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Plain => "",
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Good => "1;32",
            Paint::Warn => "1;33",
            Paint::Bad => "1;31",
        }
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Paint, String)>);

impl Line {
    pub(crate) fn new() -> Line {
        Line::default()
    }

    /// Adds a piece.
    pub(crate) fn add(mut self, paint: Paint, text: impl Into<String>) -> Line {
        self.0.push((paint, text.into()));
        self
    }

    /// Adds plain text.
    pub(crate) fn text(self, text: impl Into<String>) -> Line {
        self.add(Paint::Plain, text)
    }

    /// Columns that it takes.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| columns(text)).sum()
    }

    /// As it is written, cut where it would be wider than `style` allows.
    pub(crate) fn render(&self, style: Style) -> String {
        let mut left = style.width;
        let mut out = String::new();
        let whole = self.width() <= left;
        for (paint, text) in &self.0 {
            let shown = if whole { text.clone() } else { cut(text, left) };
            left = left.saturating_sub(columns(&shown));
            if style.color && *paint != Paint::Plain && !shown.trim().is_empty() {
                out.push_str(&format!("\x1b[{}m{shown}\x1b[0m", paint.code()));
            } else {
                out.push_str(&shown);
            }
            if !whole && shown.len() < text.len() {
                break;
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out
    }
}

/// Columns that `text` takes.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// Columns that a character takes: two for those of East Asia and pictures, none for what joins to the one before.
fn column(character: char) -> usize {
    match character {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The beginning of `text`, with an ellipsis where it has more than `width` columns.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += column(character);
        if used > width {
            break;
        }
        out.push(character);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// `text` in `width` columns, to the left.
pub(crate) fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// `text` in `width` columns, to the right.
pub(crate) fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(text))))
}

/// `text` without what would steer a terminal or turn its direction.
pub(crate) fn clean(text: &str) -> String {
    let steers = |character: char| {
        character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|character| if steers(character) { '\u{fffd}' } else { character }).collect()
}

/// `text` in lines of at most `width` columns, broken between words; a word that is longer has a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if let Some(line) = lines.last_mut() {
            if line.is_empty() {
                line.push_str(word);
                continue;
            }
            if columns(line) + 1 + columns(word) <= width {
                line.push(' ');
                line.push_str(word);
                continue;
            }
        }
        lines.push(word.to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_and_painted() {
        let line = Line::new().add(Paint::Bad, "failed").text(" 12 of 30");
        let check = |color, width, expected: &str| assert_eq!(line.render(Style { color, width }), expected);
        check(false, 80, "failed 12 of 30");
        check(true, 80, "\x1b[1;31mfailed\x1b[0m 12 of 30");
        check(false, 10, "failed 12…");
        check(true, 4, "\x1b[1;31mfai…\x1b[0m");
        check(false, 0, "");
    }

    #[test]
    fn text_is_measured_wrapped_and_cleaned() {
        assert_eq!((columns("a\u{301}b"), columns("漢字")), (2, 4));
        assert_eq!((cut("漢字です", 5), cut("ab", 2)), ("漢字…".into(), "ab".into()));
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("a verylongword b", 4), ["a", "verylongword", "b"]);
        assert_eq!(clean("a\x1b[2Jb\n\u{202e}c"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c");
        assert_eq!((left("a", 3), right("a", 3)), ("a  ".into(), "  a".into()));
    }
}
