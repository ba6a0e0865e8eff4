//! Today's arms as methods, and back, as long as manifests and tables speak of arms.

use crate::{
    manifest::Arm,
    method::{Method, TrainedOn},
};

/// The method that an arm of a manifest stands for.
pub(super) fn method_of(arm: Arm) -> Method {
    Method::named(&arm.to_string()).expect("every arm is the name or an alias of a built-in method")
}

/// The arm under which tables have a method's runs.
pub(super) fn arm_of(method: &Method) -> Arm {
    match (method.is_pretrained(), method.trained_on) {
        (true, _) => Arm::With,
        (false, TrainedOn::NewExpert) => Arm::Without,
        (false, TrainedOn::AnotherExpert) => Arm::Single,
    }
}
