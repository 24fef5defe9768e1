//! The parameters of a query, each read by its name. What is wrong with one is said here, for every path.

use std::ops::RangeInclusive;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::ApiError;
use crate::util::visible_line;

/// Longest part of what was given that is shown, in characters.
const SHOWN: usize = 80;

/// The parameters of a request. Those that nobody reads mean nothing.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::bad_request("bad_request", "the query is no list of `name=value`"))?;
        Ok(Self(pairs))
    }
}

impl Params {
    /// A text; `None` where it is not given.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut given = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (given.next(), given.next()) {
            (one, None) => Ok(one),
            _ => Err(ApiError::bad_request("bad_request", format!("`{name}` is given twice; give it once"))),
        }
    }

    /// A whole number of this range.
    pub fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        let takes = match (*range.start(), *range.end()) {
            (0, u64::MAX) => "a whole number, 0 or more".to_owned(),
            (0, most) => format!("a whole number, at most {most}"),
            (least, most) => format!("a whole number from {least} to {most}"),
        };
        match given.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            Ok(_) => Err(ApiError::bad_request("validation_error", words(name, given, &takes))),
            Err(_) => Err(wrong(name, given, &takes)),
        }
    }

    /// Whether it is 1; 0 is as good as none.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name)? {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(given) => Err(wrong(name, given, "0 or 1")),
        }
    }
}

/// A parameter is not what it may be.
pub fn wrong(name: &str, given: &str, takes: &str) -> ApiError {
    ApiError::bad_request("bad_request", words(name, given, takes))
}

fn words(name: &str, given: &str, takes: &str) -> String {
    format!("`{name}` is `{}`; it takes {takes}", shown(given))
}

/// What somebody gave, as it can be shown.
pub(super) fn shown(given: &str) -> String {
    let cut: String = given.chars().take(SHOWN).collect();
    let mark = if cut.len() < given.len() { "…" } else { "" };
    format!("{}{mark}", visible_line(&cut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_what_may_be_and_what_was_given() {
        let pairs =
            [("from", "-1"), ("cols", "99999"), ("on", "1"), ("off", "0"), ("two", "1"), ("two", "2")];
        let odd = [("odd", "\u{1b}[2J\u{202e}"), ("long", &"x".repeat(500)), ("empty", "")];
        let pairs = pairs.into_iter().chain(odd);
        let params = Params(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        let said = |error: ApiError| format!("{error:?}");
        let number = |name: &str, most: u64| said(params.number(name, 0..=most).unwrap_err());
        assert!(number("from", u64::MAX).contains("`from` is `-1`; it takes a whole number, 0 or more"));
        assert!(number("cols", 65535).contains("`cols` is `99999`; it takes a whole number, at most 65535"));
        assert!(number("empty", 1).contains("`empty` is ``; it takes"));
        assert!(number("two", 9).contains("`two` is given twice"));
        let odd = number("odd", 1);
        assert!(odd.contains("u{1b}[2J") && odd.contains("u{202e}") && !odd.contains('\u{202e}'), "{odd}");
        assert!(number("long", 1).contains(&format!("`{}…`", "x".repeat(80))));
        assert!(said(params.flag("cols").unwrap_err()).contains("it takes 0 or 1"));
        assert!(params.flag("on").unwrap() && !params.flag("off").unwrap() && !params.flag("none").unwrap());
        assert_eq!(params.number("on", 1..=4).unwrap(), Some(1));
        assert_eq!(params.number("none", 1..=4).unwrap(), None);
    }
}
