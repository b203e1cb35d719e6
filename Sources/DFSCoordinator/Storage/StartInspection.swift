import DFSCore
import DFSKeyValue
import DFSMetadata

/// What a start demands of the metadata before anything is served from it: a store that lost something refuses to
/// start rather than serve less.
///
/// All records are compared with their digest as far as that fits into a bounded time, which it does but for very
/// large stores; the rest is left to a job. (That the store ends where it was acknowledged is the ledger's to check.)
enum StartInspection {
  /// Records that are read at once, between two looks at the clock.
  private static let step = 50_000

  /// Gives the check to go on with when the time was over. Throws `.corrupt`.
  static func run(
    _ store: any OrderedStore, within limit: Duration, now: () -> ContinuousClock.Instant = { .now }
  ) throws -> DigestCheck? {
    let end = now().advanced(by: limit)
    guard var check = try DigestCheck(of: store) else { return nil }
    while try check.step(step) == .goOn {
      if now() > end { return check }
    }
    return nil
  }
}
