/// SplitMix64: the same seed gives the same numbers on every machine. Print the seed of every random test.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64
  package let seed: UInt64

  /// Takes the seed from `DFS_TEST_SEED`, so that a failure replays; else from the system's generator.
  package init() { self.init(seed: environmentSeed() ?? UInt64.random(in: 0...UInt64.max)) }

  package init(seed: UInt64) {
    self.seed = seed
    state = seed
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  package mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}
