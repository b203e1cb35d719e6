/// What the metadata knows of a chunk that a node may have.
///
/// Liveness is one-way: an id goes from `uploading` over `named` and `condemned` to `dead`, may skip steps,
/// and never comes back. So an id that was seen on a node *before* the view was taken in which it is dead is
/// dead for ever.
package enum ChunkLiveness: UInt8, Sendable, Hashable, CaseIterable {
  /// Its upload is open and has not sealed it: every index of an open upload is alive, allocated or not.
  case uploading = 1
  /// A version names it, in the trash or not, or a sealed segment of an open upload: members that are full
  /// have it.
  case named = 2
  /// A record of `x/` deals with it: its deletion is only a matter of time.
  case condemned = 3
  /// Nothing knows it any more.
  case dead = 4
  /// This history has not handed out the id yet: it is of a later incarnation, or of rounds that were lost.
  /// Never to be touched.
  case foreign = 5

  /// Whether a copy must not be taken away.
  package var isAlive: Bool { self == .uploading || self == .named }
}
