//! The position of a cell: its values on the axes that distinguish the cells of a table.

use std::{fmt, sync::Arc};

use crate::{
    grid::{Address, Axis, Chosen, Coordinates, Value},
    method::Method,
};

/// The position of a cell in a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(Arc<[(Axis, Option<Value>)]>);

impl Position {
    /// The position of a run on some axes.
    pub fn of(at: &Address, axes: &[Axis]) -> Self {
        axes.iter()
            .map(|axis| (axis.clone(), axis.of(at)))
            .collect()
    }

    /// Its value on an axis; none where it lacks the axis, or the axis does not apply to it.
    pub fn get(&self, axis: &Axis) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| known == axis);
        found.and_then(|(_, value)| value.as_ref())
    }

    /// Its values on some axes.
    pub fn on(&self, axes: &[Axis]) -> Coordinates {
        axes.iter().map(|axis| self.get(axis).cloned()).collect()
    }

    /// Its values on all of its axes.
    pub fn values(&self) -> impl Iterator<Item = (&Axis, Option<&Value>)> {
        self.0.iter().map(|(axis, value)| (axis, value.as_ref()))
    }

    /// The expert tested against.
    pub fn new_expert(&self) -> Option<u8> {
        self.expert(&Axis::NEW_EXPERT)
    }

    /// The expert whose masks trained the network, where that is another by its method.
    pub fn train_expert(&self) -> Option<u8> {
        self.expert(&Axis::TRAIN_EXPERT)
    }

    fn expert(&self, axis: &Axis) -> Option<u8> {
        let expert = self.get(axis).and_then(Value::whole);
        expert.and_then(|expert| expert.try_into().ok())
    }

    /// Annotated samples.
    pub fn samples(&self) -> Option<usize> {
        self.get(&Axis::SAMPLES).and_then(Value::whole)
    }

    /// How many experts annotated for pretraining.
    pub fn experts(&self) -> Option<usize> {
        self.get(&Axis::EXPERTS).and_then(Value::whole)
    }

    /// The method of the networks, as the grid names it.
    pub fn chosen(&self) -> Option<&Chosen> {
        match self.get(&Axis::METHOD)? {
            Value::Method(chosen) => Some(chosen),
            _ => None,
        }
    }

    /// The method of the networks.
    pub fn method(&self) -> Option<&Method> {
        self.chosen().map(|chosen| &chosen.method)
    }

    /// The position with other values on some axes.
    pub fn with(&self, values: &[(Axis, Option<Value>)]) -> Self {
        let value = |(axis, own): &(Axis, Option<Value>)| {
            let other = values.iter().find(|(known, _)| known == axis);
            let value = other.map_or(own, |(_, value)| value);
            (axis.clone(), value.clone())
        };
        Self(self.0.iter().map(value).collect())
    }

    /// The position that it is compared with: the same, but with these values. None for a position
    /// that has them itself.
    pub fn counterpart(&self, compare: &[(Axis, Value)]) -> Option<Self> {
        if compare.is_empty() {
            return None;
        }
        let mut values: Vec<(Axis, Option<Value>)> = Vec::new();
        for (axis, value) in compare {
            values.push((axis.clone(), Some(value.clone())));
            // A network of the new expert's masks alone has no annotation experts.
            if matches!(value, Value::Method(chosen) if chosen.method.is_alone()) {
                values.push((Axis::EXPERTS, Some(Value::Whole(0))));
                values.push((Axis::ANNOTATORS, Some(Value::experts(Arc::from([])))));
                values.push((Axis::TRAIN_EXPERT, None));
                values.push((Axis::REPEAT, None));
            }
        }
        let other = self.with(&values);
        (other != *self).then_some(other)
    }
}

impl FromIterator<(Axis, Option<Value>)> for Position {
    fn from_iter<I: IntoIterator<Item = (Axis, Option<Value>)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// `expert 6, w/, k = 3, n = 10`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(expert) = self.get(&Axis::NEW_EXPERT) {
            parts.push(format!("expert {expert}"));
        }
        match (self.get(&Axis::TRAIN_EXPERT), self.chosen()) {
            (Some(trainer), _) => parts.push(format!("trained on expert {trainer}")),
            (None, Some(chosen)) => {
                parts.push(chosen.word.to_string());
                if let (true, Some(k)) = (chosen.method.is_pretrained(), self.experts()) {
                    parts.push(format!("k = {k}"));
                }
            }
            (None, None) => parts.extend(self.experts().map(|k| format!("k = {k}"))),
        }
        match self.get(&Axis::ANNOTATORS).map(Value::to_string) {
            Some(annotators) if !annotators.is_empty() => {
                parts.push(format!("annotators {annotators}"));
            }
            Some(_) | None => {}
        }
        parts.extend(self.samples().map(|n| format!("n = {n}")));
        let others = self.values().filter(|(axis, _)| match axis {
            Axis::Swept(_) => true,
            axis => [Axis::START, Axis::REPEAT].contains(axis),
        });
        parts.extend(others.filter_map(|(axis, value)| Some(format!("{axis} = {}", value?))));
        f.write_str(&parts.join(", "))
    }
}
