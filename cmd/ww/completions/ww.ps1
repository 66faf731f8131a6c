# Completion of ww's command line for PowerShell. Add to $PROFILE:
#   ww completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName ww -ScriptBlock {
    param($word, $line, $cursor)
    $words = @($line.CommandElements | Select-Object -Skip 1 | Where-Object { $_.Extent.StartOffset -lt $cursor } | ForEach-Object { $_.Extent.Text })
    # Older versions drop empty arguments: --next stands for one.
    $next = @()
    if ($word -eq '') { $next = @('--next') }
    & $line.CommandElements[0].Extent.Text __complete @next -- @words 2>$null | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if ($value -like ':*') { return }
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $help)
    }
}
