import Foundation
import TestSupport
import Testing

@Suite struct `Real processes under attack` {
  /// `Scripts/chaos` chooses another time and seed.
  private static var duration: Duration {
    let minutes = ProcessInfo.processInfo.environment["DFS_CHAOS_MINUTES"].flatMap { Double($0) }
    return .seconds((minutes ?? 2.2) * 60)
  }

  @Test func `lose nothing, show no wrong byte, bring nothing back, and have all copies at the end`()
    async throws
  {
    let seed = SeededGenerator().seed
    print("seed \(seed); again: Scripts/chaos --seed \(seed)")
    let report = try await FaultRun(seed: seed, duration: Self.duration).execute()
    for line in report.counts.lines { print("chaos: \(line)") }
    #expect(
      report.problems.isEmpty,
      """
      seed \(seed); again: Scripts/chaos --seed \(seed)
      \(report.problems.joined(separator: "\n"))
      \(report.attacks.joined(separator: "\n"))
      """)
    // A run in which hardly anything worked proves nothing.
    #expect(report.counts.total(.acknowledged) > 100)
  }
}
