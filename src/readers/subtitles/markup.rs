//! Taking the markup out of a subtitle's text.

/// Words of a text joined by single spaces, line breaks included.
pub fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// SubRip: tags as in HTML (`<i>`, `<font color=…>`) and `{\an8}` overrides go, character
/// references are resolved. A `<` that begins no tag stays.
pub fn subrip(text: &str) -> String {
    let tags = without(text, '<', '>', |inside| {
        inside
            .trim_start_matches('/')
            .starts_with(|c: char| c.is_ascii_alphabetic())
    });
    let text = without(&tags, '{', '}', |inside| inside.starts_with('\\'));
    plain(&resolved(&text))
}

/// WebVTT: tags (`<v Ann>`, `<c.loud>`, `<00:01.000>`) go, character references are resolved.
pub fn webvtt(text: &str) -> String {
    plain(&resolved(&without(text, '<', '>', |_| true)))
}

/// No reference is longer; one that is looked for further would take time for each `&` of a long text.
const MAX_REFERENCE: usize = 16;

/// Character references as in HTML become characters.
fn resolved(text: &str) -> String {
    let mut rest = text;
    let mut out = String::with_capacity(rest.len());
    while let Some((before, tail)) = rest.split_once('&') {
        out.push_str(before);
        let mut near = tail.bytes().take(MAX_REFERENCE);
        let end = near.position(|byte| byte == b';');
        let reference = end.map(|end| (&tail[..end], &tail[end + 1..]));
        match reference.and_then(|(name, after)| Some((resolve(name)?, after))) {
            Some((character, after)) => {
                out.push(character);
                rest = after;
            }
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

fn resolve(reference: &str) -> Option<char> {
    Some(match reference {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{A0}',
        "lrm" => '\u{200E}',
        "rlm" => '\u{200F}',
        _ => {
            let number = reference.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
    })
}

/// Drops stretches from `open` to the next `close` whose inside is markup.
fn without(text: &str, open: char, close: char, is_markup: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(open) {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        let inside = &tail[1..];
        match inside.find([open, close]) {
            Some(end) if inside[end..].starts_with(close) && is_markup(&inside[..end]) => {
                rest = &inside[end + 1..];
            }
            _ => {
                out.push(open);
                rest = inside;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subrip_markup() {
        assert_eq!(subrip("<i>So it\nbegins.</i>"), "So it begins.");
        assert_eq!(
            subrip("{\\an8}<font color=\"#fff\">Up</font> {sic}"),
            "Up {sic}"
        );
        assert_eq!(subrip("I <3 you, 1 < 2 > 0"), "I <3 you, 1 < 2 > 0");
        assert_eq!(subrip("a < <b>b</b>"), "a < b");
        assert_eq!(
            subrip("{\\k50}Tom &amp; {\\k20}I&#39;m AT&T"),
            "Tom & I'm AT&T"
        );
        assert_eq!(
            subrip("&amp and then; &#x0010FFFF;"),
            "&amp and then; \u{10FFFF}"
        );
        let many = "&".repeat(1 << 20);
        assert_eq!(subrip(&many), many);
        assert_eq!(subrip("  two \u{A0} spaces  "), "two spaces");
    }

    #[test]
    fn webvtt_markup() {
        assert_eq!(webvtt("<v Ann>Hi <c.loud>you</c>"), "Hi you");
        assert_eq!(webvtt("one <00:01.000>two"), "one two");
        assert_eq!(
            webvtt("R&amp;B &lt;3 &#233; &#xE9; &x; AT&T"),
            "R&B <3 é é &x; AT&T"
        );
        assert_eq!(webvtt("&amp;lt;"), "&lt;");
    }
}
