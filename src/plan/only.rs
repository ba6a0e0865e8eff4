//! Picking runs: `expert=7 and n<=10 and arm="w/"`.
//!
//! ```text
//! expression = term { "or" term }
//! term       = factor { [ "and" ] factor }
//! factor     = "not" factor | "(" expression ")" | field comparison value
//! comparison = "=" | "!=" | "<" | "<=" | ">" | ">="
//! value      = number | word | "quoted"
//! ```
//!
//! The rule: an expression is understood whole or refused, with the place and what could stand there.

use std::str::FromStr;

use itertools::Itertools;

use super::{Plan, Run};

/// Which runs are meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Only(Expression);

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Or(Vec<Expression>),
    And(Vec<Expression>),
    Not(Box<Expression>),
    Compare {
        field: Field,
        comparison: Comparison,
        value: Value,
    },
}

/// What a run can be picked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Table,
    Arm,
    Expert,
    Experts,
    Combination,
    Samples,
    Start,
}

impl Field {
    const ALL: [(&'static str, Field); 8] = [
        ("table", Field::Table),
        ("arm", Field::Arm),
        ("expert", Field::Expert),
        ("experts", Field::Experts),
        ("combination", Field::Combination),
        ("n", Field::Samples),
        ("samples", Field::Samples),
        ("start", Field::Start),
    ];

    fn is_text(self) -> bool {
        matches!(self, Self::Table | Self::Arm | Self::Combination)
    }

    fn of(self, run: &Run, plan: &Plan) -> Value {
        match self {
            Self::Table => Value::Text(plan.experiments[run.experiment].name.clone()),
            Self::Arm => Value::Text(run.arm.to_string()),
            Self::Combination => Value::Text(run.experts.iter().join("+")),
            Self::Expert => Value::Number(run.new_expert.into()),
            Self::Experts => Value::Number(run.experts.len() as f64),
            Self::Samples => Value::Number(run.samples as f64),
            Self::Start => Value::Number(run.start as f64),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    /// The longer ones first: `<=` begins like `<`.
    const ALL: [(&'static str, Comparison); 6] = [
        ("!=", Comparison::Unequal),
        ("<=", Comparison::AtMost),
        (">=", Comparison::AtLeast),
        ("=", Comparison::Equal),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];

    fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
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

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
}

impl Only {
    /// Whether a run is meant.
    pub fn matches(&self, run: &Run, plan: &Plan) -> bool {
        self.0.holds(run, plan)
    }
}

impl Expression {
    fn holds(&self, run: &Run, plan: &Plan) -> bool {
        match self {
            Self::Or(terms) => terms.iter().any(|term| term.holds(run, plan)),
            Self::And(factors) => factors.iter().all(|factor| factor.holds(run, plan)),
            Self::Not(factor) => !factor.holds(run, plan),
            Self::Compare {
                field,
                comparison,
                value,
            } => match (field.of(run, plan), value) {
                (Value::Number(found), Value::Number(wanted)) => comparison.holds(&found, wanted),
                (Value::Text(found), Value::Text(wanted)) => comparison.holds(&found, wanted),
                // The reader has seen to it that they are of one kind.
                (Value::Number(_), Value::Text(_)) | (Value::Text(_), Value::Number(_)) => false,
            },
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
            true => Ok(Self(expression)),
            false => Err(reader.wrong("`and`, `or` or the end")),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Deeper than anybody writes, and far from the end of the stack.
const DEEPEST: usize = 50;

impl<'a> Reader<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn wrong(&mut self, expected: &str) -> String {
        let rest = self.rest();
        let found = match rest.is_empty() {
            true => "it ends".to_owned(),
            false => format!("`{rest}` stands"),
        };
        format!(
            "{found} where {expected} is expected; write for example `expert=7 and n<=10 and arm=\"w/\"`"
        )
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

    fn expression(&mut self) -> Result<Expression, String> {
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

    fn term(&mut self) -> Result<Expression, String> {
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
        let begins = match self.takes("(") {
            true => true,
            false => {
                let word = self.word();
                word == "not" || Field::ALL.iter().any(|(name, _)| *name == word)
            }
        };
        self.at = at;
        begins
    }

    fn factor(&mut self) -> Result<Expression, String> {
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

    fn comparison(&mut self) -> Result<Expression, String> {
        let fields = || Field::ALL.iter().map(|(name, _)| *name).join(", ");
        let before = self.at;
        let name = self.word();
        let Some((_, field)) = Field::ALL.iter().find(|(known, _)| *known == name) else {
            self.at = before;
            return Err(self.wrong(&format!("one of {}", fields())));
        };
        let Some((_, comparison)) = Comparison::ALL.iter().find(|(sign, _)| self.takes(sign))
        else {
            return Err(self.wrong("one of = != < <= > >="));
        };
        Ok(Expression::Compare {
            field: *field,
            comparison: *comparison,
            value: self.value(*field)?,
        })
    }

    fn value(&mut self, field: Field) -> Result<Value, String> {
        let before = self.at;
        let text = match self.takes("\"") {
            true => {
                let rest = &self.text[self.at..];
                let Some(end) = rest.find('"') else {
                    return Err(self.wrong("a closing quotation mark"));
                };
                self.at += end + 1;
                &rest[..end]
            }
            false => self.word(),
        };
        if field.is_text() && !text.is_empty() {
            return Ok(Value::Text(text.to_owned()));
        }
        match text.parse::<f64>() {
            Ok(number) if !field.is_text() && number.is_finite() => Ok(Value::Number(number)),
            _ => {
                self.at = before;
                Err(self.wrong(match field.is_text() {
                    true => "a word",
                    false => "a number",
                }))
            }
        }
    }
}

/// Words hold what arms, combinations and names of tables are made of.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_-./+".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{manifest, plan::Inventory};

    const MANIFEST: &str = r#"
        [grid]
        new_experts = [6, 7]
        arms = ["w/", "w/o"]
        annotators = { from = [1, 2, 3], choose = [2, 3] }
        samples = [5, 10, 34]
        starts = [1, 28]
    "#;

    fn plan() -> Plan {
        let experiment = manifest::parse("table2.toml".as_ref(), MANIFEST, "paper", &[]).unwrap();
        let inventory = Inventory::assumed(&experiment.cohort);
        super::super::build(vec![experiment], &inventory)
    }

    fn picked(text: &str) -> usize {
        let (plan, only) = (plan(), text.parse::<Only>().unwrap());
        plan.runs
            .iter()
            .filter(|run| only.matches(run, &plan))
            .count()
    }

    #[test]
    fn runs_are_picked_by_every_field() {
        // 3 pairs and 1 triple with pretraining, 1 without; 2 experts, 3 numbers, 2 starts.
        let all = (4 + 1) * 2 * 3 * 2;
        assert_eq!(plan().runs.len(), all);
        for (text, count) in [
            ("expert=7", all / 2),
            ("n<=10", all * 2 / 3),
            ("samples > 5 and n != 34", all / 3),
            ("start=28", all / 2),
            ("arm=\"w/\"", 4 * 12),
            ("arm=w/o", 12),
            ("experts=2", 3 * 12),
            ("combination=1+3", 12),
            ("combination=\"1+2+3\"", 12),
            ("table=table2", all),
            ("table=table3", 0),
            ("expert=7 and n<=10 and arm=\"w/\"", 4 * 4),
            ("not expert=7", all / 2),
            ("not not expert=7", all / 2),
            ("expert=6 and n=5 or expert=7 and n=34", all / 3),
            ("expert=6 and (n=5 or n=34)", all / 3),
            ("not (expert=6 or n=5)", all / 3),
            ("  start  >=  2  ", all / 2),
            ("n>=10 and n<34", all / 3),
            ("expert=7 n<=10 arm=w/", 4 * 4),
            ("expert=7 not n=5 (start=1 or start=28)", all / 3),
        ] {
            assert_eq!(picked(text), count, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_could_stand_there() {
        for (text, expected) in [
            ("", "it ends where one of table, arm, expert"),
            ("epxert=7", "`epxert=7` stands where one of"),
            ("expert", "it ends where one of = !="),
            ("expert=", "it ends where a number"),
            ("expert=seven", "`seven` stands where a number"),
            ("n==5", "`=5` stands where a number"),
            ("arm=", "it ends where a word"),
            ("arm=\"w/", "a closing quotation mark"),
            ("(expert=7", "it ends where `)`"),
            ("expert=7 m=5", "`m=5` stands where `and`, `or`"),
            ("expert=7 and", "it ends where one of"),
            ("expert=7)", "`)` stands where"),
            ("n=nan", "`nan` stands where a number"),
        ] {
            let said = text.parse::<Only>().unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
        let deep = "(".repeat(100_000);
        assert!(deep.parse::<Only>().unwrap_err().contains("too deeply"));
    }
}
