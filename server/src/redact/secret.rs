//! What can be kept from getting out: values, and messages that hold some.

use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Something that holds secret values.
pub trait Secret {
    /// Calls `visit` with each of them.
    fn each(&self, visit: &mut dyn FnMut(&[u8]));
}

impl Secret for str {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self.as_bytes());
    }
}

impl Secret for String {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self.as_bytes());
    }
}

impl Secret for [u8] {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self);
    }
}

impl Secret for SecretString {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self.expose_secret().as_bytes());
    }
}

impl Secret for SecretSlice<u8> {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        visit(self.expose_secret());
    }
}

impl<S: Secret + ?Sized> Secret for &S {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        S::each(self, visit);
    }
}

impl<S: Secret> Secret for Option<S> {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        self.iter().for_each(|secret| secret.each(visit));
    }
}

impl<S: Secret> Secret for Vec<S> {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        self.iter().for_each(|secret| secret.each(visit));
    }
}

impl<A: Secret, B: Secret> Secret for (A, B) {
    fn each(&self, visit: &mut dyn FnMut(&[u8])) {
        self.0.each(visit);
        self.1.each(visit);
    }
}
