/// The system's random numbers: `SystemRandomNumberGenerator`, but with a size.
///
/// The address of a value without a size is whatever the register holds. A build with the thread sanitizer
/// notes a write there whenever the value is passed on `inout`, and dies when the address is read-only.
package struct SystemRandom: RandomNumberGenerator, Sendable {
  private var generator = SystemRandomNumberGenerator()
  private var size: UInt8 = 0

  package init() {}

  package mutating func next() -> UInt64 { generator.next() }
}
