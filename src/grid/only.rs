//! Picking runs and numbers by an expression: `expert=7 and n<=10 and method="w/"`.
//!
//! ```text
//! expression = term { "or" term }
//! term       = factor { [ "and" ] factor }
//! factor     = "not" factor | "(" expression ")" | field comparison value
//! comparison = "=" | "!=" | "<" | "<=" | ">" | ">="
//! value      = number | word | "quoted"
//! ```
//!
//! The rule: an expression is parsed whole or refused, with the place and what is expected there.
//! Its grammar is checked first; names and kinds of values are checked against the fields of what
//! it picks from.

use std::str::FromStr;

use itertools::Itertools;

use super::Value;
use crate::suggestion::nearest_of;

/// An expression, parsed but not yet resolved against fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Only {
    text: String,
    expression: Expression<ParsedCondition>,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression<C> {
    Or(Vec<Expression<C>>),
    And(Vec<Expression<C>>),
    Not(Box<Expression<C>>),
    Compare(C),
}

/// A condition as it is written; positions are byte offsets.
#[derive(Clone, Debug, PartialEq)]
struct ParsedCondition {
    /// The field's name, and where it stands.
    field: (usize, String),
    comparison: (usize, Operator),
    value: (usize, String),
}

/// What conditions can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Other names that are understood.
    pub others: Vec<String>,
    /// Whether its values are numbers.
    pub numeric: bool,
}

/// An expression over the fields that it was resolved against.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick(Expression<Condition>);

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    /// Its index among the fields.
    field: usize,
    comparison: Operator,
    value: Operand,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Number(f64),
    Word(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Operator {
    /// The longer ones first: `<=` begins like `<`.
    const ALL: [(&'static str, Operator); 6] = [
        ("!=", Operator::Unequal),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("=", Operator::Equal),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ];

    /// Whether it orders, as only numbers are.
    fn orders(self) -> bool {
        !matches!(self, Self::Equal | Self::Unequal)
    }

    fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Unequal => a != b,
            Self::Less => a < b,
            Self::AtMost => a <= b,
            Self::Greater => a > b,
            Self::AtLeast => a >= b,
        }
    }
}

impl Only {
    /// Resolves it against fields.
    ///
    /// # Errors
    /// An unknown field, or a value of the wrong kind, with the place.
    pub fn among(&self, fields: &[Field]) -> Result<Pick, String> {
        self.resolved(&self.expression, fields).map(Pick)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn resolved(
        &self,
        expression: &Expression<ParsedCondition>,
        fields: &[Field],
    ) -> Result<Expression<Condition>, String> {
        let each = |parts: &[Expression<ParsedCondition>]| {
            let parts = parts.iter().map(|part| self.resolved(part, fields));
            parts.collect::<Result<Vec<_>, _>>()
        };
        Ok(match expression {
            Expression::Or(terms) => Expression::Or(each(terms)?),
            Expression::And(factors) => Expression::And(each(factors)?),
            Expression::Not(factor) => Expression::Not(Box::new(self.resolved(factor, fields)?)),
            Expression::Compare(asked) => Expression::Compare(self.test(asked, fields)?),
        })
    }

    fn test(&self, asked: &ParsedCondition, fields: &[Field]) -> Result<Condition, String> {
        let ParsedCondition {
            field: (at, name),
            comparison: (sign_at, comparison),
            value: (value_at, value),
        } = asked;
        let is = |field: &Field| field.name == *name || field.others.contains(name);
        let Some(index) = fields.iter().position(is) else {
            let all = fields.iter().flat_map(|field| {
                let others = field.others.iter().map(String::as_str);
                std::iter::once(field.name.as_str()).chain(others)
            });
            let meant = nearest_of(name, &all.collect::<Vec<_>>());
            let meant = meant.map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
            let known = fields.iter().map(|field| field.name.as_str()).join(", ");
            return Err(wrong(&self.text, *at, &format!("one of {known}")) + &meant);
        };
        let value = match (fields[index].numeric, comparison.orders()) {
            (true, _) => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Operand::Number(number),
                _ => return Err(wrong(&self.text, *value_at, "a number")),
            },
            (false, false) => Operand::Word(value.clone()),
            (false, true) => {
                let expected = format!("= or != ({name} is not a number)");
                return Err(wrong(&self.text, *sign_at, &expected));
            }
        };
        Ok(Condition {
            field: index,
            comparison: *comparison,
            value,
        })
    }
}

impl Pick {
    /// Whether it picks something, given that one's value of each field; `None` where a field does
    /// not apply.
    pub fn holds(&self, of: &dyn Fn(usize) -> Option<Value>) -> bool {
        self.0.holds(of)
    }
}

impl Expression<Condition> {
    fn holds(&self, of: &dyn Fn(usize) -> Option<Value>) -> bool {
        match self {
            Self::Or(terms) => terms.iter().any(|term| term.holds(of)),
            Self::And(factors) => factors.iter().all(|factor| factor.holds(of)),
            Self::Not(factor) => !factor.holds(of),
            Self::Compare(test) => test.holds(of(test.field).as_ref()),
        }
    }
}

impl Condition {
    fn holds(&self, found: Option<&Value>) -> bool {
        let Some(found) = found else {
            return self.comparison == Operator::Unequal;
        };
        match (&self.value, self.comparison) {
            (Operand::Number(wanted), comparison) => found
                .number()
                .is_some_and(|found| comparison.holds(found, *wanted)),
            (Operand::Word(word), Operator::Unequal) => !found.is(word),
            (Operand::Word(word), _) => found.is(word),
        }
    }
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
        };
        let expression = reader.expression()?;
        match reader.rest().is_empty() {
            true => Ok(Self {
                text: text.to_owned(),
                expression,
            }),
            false => Err(reader.wrong("`and`, `or` or the end")),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Deepest nesting of parentheses: parsing recurses.
const DEEPEST: usize = 50;

impl<'a> Reader<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn wrong(&mut self, expected: &str) -> String {
        self.rest();
        wrong(self.text, self.at, expected)
    }

    /// Steps over a symbol.
    fn takes(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    /// Steps over a word, if it stands alone.
    fn takes_word(&mut self, word: &str) -> bool {
        let after = self.rest().strip_prefix(word);
        let found = after.is_some_and(|after| !after.starts_with(is_word));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn expression(&mut self) -> Result<Expression<ParsedCondition>, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("the expression is nested too deeply".into());
        }
        let mut terms = vec![self.term()?];
        while self.takes_word("or") {
            terms.push(self.term()?);
        }
        self.depth -= 1;
        Ok(match terms.len() {
            1 => terms.remove(0),
            _ => Expression::Or(terms),
        })
    }

    fn term(&mut self) -> Result<Expression<ParsedCondition>, String> {
        let mut factors = vec![self.factor()?];
        while self.takes_word("and") || self.begins_factor() {
            factors.push(self.factor()?);
        }
        Ok(match factors.len() {
            1 => factors.remove(0),
            _ => Expression::And(factors),
        })
    }

    /// Whether one factor follows another without a word between them.
    fn begins_factor(&mut self) -> bool {
        let at = self.at;
        let begins = self.takes("(") || {
            let word = self.word();
            let compared = |reader: &mut Self| {
                let mut signs = Operator::ALL.iter();
                signs.any(|(sign, _)| reader.takes(sign))
            };
            word == "not" || (!word.is_empty() && word != "or" && compared(self))
        };
        self.at = at;
        begins
    }

    fn factor(&mut self) -> Result<Expression<ParsedCondition>, String> {
        let mut negations = 0;
        while self.takes_word("not") {
            negations += 1;
        }
        let factor = if self.takes("(") {
            let inner = self.expression()?;
            if !self.takes(")") {
                return Err(self.wrong("`)`"));
            }
            inner
        } else {
            self.comparison()?
        };
        Ok(match negations % 2 {
            0 => factor,
            _ => Expression::Not(Box::new(factor)),
        })
    }

    fn comparison(&mut self) -> Result<Expression<ParsedCondition>, String> {
        self.rest();
        let at = self.at;
        let field = match self.takes("\"") {
            true => self.quoted()?,
            false => self.word(),
        };
        if field.is_empty() {
            return Err(self.wrong("a field"));
        }
        self.rest();
        let sign_at = self.at;
        let Some((_, comparison)) = Operator::ALL.iter().find(|(sign, _)| self.takes(sign)) else {
            return Err(self.wrong("one of = != < <= > >="));
        };
        Ok(Expression::Compare(ParsedCondition {
            field: (at, field.to_owned()),
            comparison: (sign_at, *comparison),
            value: self.value()?,
        }))
    }

    /// What stands before the closing quotation mark.
    fn quoted(&mut self) -> Result<&'a str, String> {
        let rest = &self.text[self.at..];
        let Some(end) = rest.find('"') else {
            return Err(self.wrong("a closing quotation mark"));
        };
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn value(&mut self) -> Result<(usize, String), String> {
        self.rest();
        let at = self.at;
        let text = match self.takes("\"") {
            true => self.quoted()?,
            false => self.word(),
        };
        match text.is_empty() {
            true => {
                self.at = at;
                Err(self.wrong("a value"))
            }
            false => Ok((at, text.to_owned())),
        }
    }
}

/// The message for an unexpected text: what stands at a place, and what is expected there.
fn wrong(text: &str, at: usize, expected: &str) -> String {
    let rest = &text[at..];
    let found = match rest.is_empty() {
        true => "it ends".to_owned(),
        false => format!("`{rest}` stands"),
    };
    format!(
        "{found} where {expected} is expected; write for example `expert=7 and n<=10 and \
         method=\"w/\"`"
    )
}

/// Words hold what methods, combinations, keys and numbers are made of.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-./+".contains(c)
}
