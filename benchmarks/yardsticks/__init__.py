"""What flexcore is measured against: good plain answers to the same questions."""
