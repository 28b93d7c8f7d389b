//! What is wrong with a value, and the name of its field before that: not every format
//! tells where in a file it stands.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Reads a struct and names its fields, but for one that names its parts itself.
pub(super) struct Naming<D> {
    from: D,
    but: &'static str,
}

impl<D> Naming<D> {
    pub(super) fn of(from: D, but: &'static str) -> Self {
        Self { from, but }
    }
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Naming<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let but = self.but;
        self.from.deserialize_any(Fields { visitor, but })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let but = self.but;
        let visitor = Fields { visitor, but };
        self.from.deserialize_struct(name, fields, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields<V> {
    visitor: V,
    but: &'static str,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Fields<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        let (name, but) = (String::new(), self.but);
        self.visitor.visit_map(Named { map, name, but })
    }
}

struct Named<A> {
    map: A,
    name: String,
    but: &'static str,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Named<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let name = &mut self.name;
        self.map.next_key_seed(Key { seed, name })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.name == self.but {
            true => self.map.next_value_seed(seed),
            false => self.map.next_value_seed(Of {
                seed,
                name: &self.name,
            }),
        }
    }
}

/// A key that is read twice.
struct Key<'a, S> {
    seed: S,
    name: &'a mut String,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        *self.name = String::deserialize(from)?;
        let name: StrDeserializer<'_, D::Error> = self.name.as_str().into_deserializer();
        self.seed.deserialize(name)
    }
}

/// A value of a name.
pub(super) struct Of<'a, S> {
    seed: S,
    name: &'a str,
}

impl<'a, T> Of<'a, PhantomData<T>> {
    pub(super) fn new(name: &'a str) -> Self {
        let seed = PhantomData;
        Self { seed, name }
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Of<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.seed.deserialize(from).map_err(|error| {
            let why = error.to_string();
            D::Error::custom(format_args!("{}: {}", self.name, why.trim_end()))
        })
    }
}
