//! As much of `PromQL` as tells which series an expression reads, and by which labels.
//!
//! It judges no syntax: `promtool` does, in the tier with real servers. Aggregations have their labels
//! in front, `sum by (…) (…)`, as all expressions under `config/` do.

use std::collections::BTreeSet;

/// One selector of an expression.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Selector {
    pub(super) metric: String,
    /// Label, operator, value.
    pub(super) matchers: Vec<(String, String, String)>,
    /// The labels that the aggregations around it keep.
    pub(super) kept: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// The selectors of an expression, in order.
pub(super) fn selectors(expression: &str) -> Vec<Selector> {
    Reader { tokens: tokens(expression), ..Reader::default() }.read()
}

/// The labels that stand in the lists after `by`.
pub(super) fn kept(expression: &str) -> BTreeSet<String> {
    let tokens = tokens(expression);
    let lists = tokens.iter().enumerate().filter(|(_, token)| is_word(token, "by"));
    lists.flat_map(|(at, _)| list(&tokens[at + 1..])).collect()
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(own) if own == word)
}

/// The words up to the next closing parenthesis.
fn list(tokens: &[Token]) -> Vec<String> {
    let inside = tokens.iter().take_while(|token| **token != Token::Sign(')'));
    inside
        .filter_map(|token| match token {
            Token::Word(word) => Some(word.clone()),
            _ => None,
        })
        .collect()
}

/// Words (names, keywords, numbers and durations), quoted texts and signs. A `$variable` is a word.
fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || "_:.$".contains(c);
        let length = match first {
            '"' => {
                let length = rest[1..].find('"').expect("a closing quote");
                tokens.push(Token::Text(rest[1..=length].to_owned()));
                length + 2
            }
            _ if is_of_word(first) => {
                let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..length].to_owned()));
                length
            }
            _ => {
                tokens.push(Token::Sign(first));
                first.len_utf8()
            }
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

/// A parenthesis that is open.
#[derive(Debug, Default)]
struct Scope {
    /// What the aggregation before it keeps.
    kept: Vec<String>,
    /// Whether what comes only decides which series stay (after `and` and `unless`).
    is_filter: bool,
}

#[derive(Debug, Default)]
struct Reader {
    tokens: Vec<Token>,
    at: usize,
    scopes: Vec<Scope>,
    /// The list of the aggregation whose parenthesis comes next.
    pending: Vec<String>,
    /// The `and` and `unless` outside all parentheses.
    outer: Scope,
    found: Vec<Selector>,
}

impl Reader {
    fn read(mut self) -> Vec<Selector> {
        while let Some(token) = self.tokens.get(self.at).cloned() {
            self.at += 1;
            match token {
                Token::Sign('(') => {
                    let kept = std::mem::take(&mut self.pending);
                    self.scopes.push(Scope { kept, is_filter: false });
                }
                Token::Sign(')') => {
                    self.scopes.pop().expect("balanced parentheses");
                }
                Token::Sign('[') => self.skip_to(']'),
                Token::Word(word) => self.word(word),
                Token::Sign(_) | Token::Text(_) => {}
            }
        }
        self.found
    }

    fn word(&mut self, word: String) {
        let next = self.tokens.get(self.at);
        match word.as_str() {
            "by" => {
                self.pending = list(&self.tokens[self.at..]);
                self.skip_to(')');
            }
            "on" | "ignoring" | "group_left" | "group_right" | "without" => self.skip_to(')'),
            "and" | "unless" => self.scope().is_filter = true,
            "or" => self.scope().is_filter = false,
            "offset" => self.at += 1,
            // A number, a duration, a variable.
            _ if word.starts_with(|c: char| c.is_ascii_digit() || "$.".contains(c)) => {}
            // A function, or an aggregation.
            _ if next == Some(&Token::Sign('(')) => {}
            _ if next.is_some_and(|next| is_word(next, "by")) => {}
            _ => self.selector(word),
        }
    }

    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().unwrap_or(&mut self.outer)
    }

    fn skip_to(&mut self, sign: char) {
        while self.tokens.get(self.at).is_some_and(|token| *token != Token::Sign(sign)) {
            self.at += 1;
        }
        self.at += 1;
    }

    fn selector(&mut self, metric: String) {
        let mut selector = Selector { metric, ..Selector::default() };
        if self.tokens.get(self.at) == Some(&Token::Sign('{')) {
            let start = self.at + 1;
            self.skip_to('}');
            for matcher in self.tokens[start..self.at - 1].split(|t| *t == Token::Sign(',')) {
                let [Token::Word(label), operator @ .., Token::Text(value)] = matcher else {
                    panic!("no matcher: {matcher:?}");
                };
                let sign = |token: &Token| match token {
                    Token::Sign(sign) => *sign,
                    other => panic!("no operator: {other:?}"),
                };
                let operator = operator.iter().map(sign).collect();
                selector.matchers.push((label.clone(), operator, value.clone()));
            }
        }
        // Behind the innermost filter, the aggregations around it no longer matter.
        let scopes = std::iter::once(&self.outer).chain(&self.scopes);
        for scope in scopes {
            selector.kept.extend(scope.kept.iter().cloned());
            if scope.is_filter {
                selector.kept.clear();
            }
        }
        self.found.push(selector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_expression_reads_is_found() {
        let expression = r#"60 * sum by (job, le) (rate(a_bucket{x="1",y=~"2|3"}[5m] offset 1m)
            and on (job) max by (z) (b:c{w!=""}) or d) / histogram_quantile(0.9, e) unless f > 1"#;
        let found = selectors(expression);
        let names: Vec<_> = found.iter().map(|selector| selector.metric.as_str()).collect();
        assert_eq!(names, ["a_bucket", "b:c", "d", "e", "f"]);
        let kept: Vec<_> = found
            .iter()
            .map(|selector| selector.kept.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(kept, ["job le", "z", "job le", "", ""]);
        let matchers = [("x", "=", "1"), ("y", "=~", "2|3")]
            .map(|(label, sign, value)| (label.to_owned(), sign.to_owned(), value.to_owned()));
        assert_eq!(found[0].matchers, matchers);
        assert_eq!(super::kept(expression), ["job", "le", "z"].map(str::to_owned).into());
    }
}
